/** Certificates of an authority of one's own, in PEM. */
import forge from "node-forge"
import { generateKeyPairSync } from "node:crypto"

export interface Certificate {
  readonly cert: string
  readonly key: string
}

export interface Authority extends Certificate {
  /** For a server by its names; for a client by the role's name. */
  readonly issue: (commonName: string, names?: ReadonlyArray<string>, validity?: Validity) => Certificate
}

/** In days from now. */
export interface Validity {
  readonly from: number
  readonly to: number
}

export const makeAuthority = (name: string): Authority => {
  const keys = makeKeys()
  const subject = [{ name: "commonName", value: name }]
  const sign = (make: forge.pki.Certificate) => {
    make.setIssuer(subject)
    make.sign(keys.privateKey, forge.md.sha256.create())
    return forge.pki.certificateToPem(make)
  }
  const own = template(keys, name, around)
  own.setExtensions([
    { name: "basicConstraints", cA: true, critical: true },
    { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true }
  ])
  return {
    cert: sign(own),
    key: forge.pki.privateKeyToPem(keys.privateKey),
    issue: (commonName, names = [], validity = around) => {
      const keys = makeKeys()
      const certificate = template(keys, commonName, validity)
      certificate.setExtensions([
        { name: "extKeyUsage", serverAuth: names.length > 0, clientAuth: names.length === 0 },
        ...(names.length === 0
          ? []
          : [{ name: "subjectAltName", altNames: names.map((value) => ({ type: 2, value })) }])
      ])
      return { cert: sign(certificate), key: forge.pki.privateKeyToPem(keys.privateKey) }
    }
  }
}

const around: Validity = { from: -1, to: 2 }

const makeKeys = (): forge.pki.rsa.KeyPair => {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" }
  })
  return { privateKey: forge.pki.privateKeyFromPem(privateKey), publicKey: forge.pki.publicKeyFromPem(publicKey) }
}

const template = (keys: forge.pki.rsa.KeyPair, commonName: string, validity: Validity): forge.pki.Certificate => {
  const certificate = forge.pki.createCertificate()
  certificate.publicKey = keys.publicKey
  certificate.serialNumber = `01${forge.util.bytesToHex(forge.random.getBytesSync(8))}`
  certificate.validity.notBefore = inDays(validity.from)
  certificate.validity.notAfter = inDays(validity.to)
  certificate.setSubject([{ name: "commonName", value: commonName }])
  return certificate
}

const inDays = (days: number): Date => new Date(Date.now() + days * 86_400_000)
