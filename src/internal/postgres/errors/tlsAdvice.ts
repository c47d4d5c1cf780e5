/** @internal */
import * as Predicate from "effect/Predicate"
import type { PeerCertificate } from "node:tls"
import { isError } from "../../words.js"
import { codeOf, isServerError } from "./codes.js"

/** The server's certificate can't be trusted: https://nodejs.org/api/tls.html#x509-certificate-error-codes */
const untrusted: ReadonlySet<string> = new Set([
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "CERT_UNTRUSTED",
  "CERT_REJECTED",
  "CERT_SIGNATURE_FAILURE",
  "CERT_CHAIN_TOO_LONG",
  "INVALID_CA",
  "INVALID_PURPOSE",
  "PATH_LENGTH_EXCEEDED"
])

const outOfTime: ReadonlySet<string> = new Set(["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"])

const noTls = "The server does not support SSL connections"

/** The server did not agree on the protocol in the handshake. @internal */
export const noAlpn = "The server has not agreed on PostgreSQL's protocol (ALPN)"

/** Certificates, names and versions that Node.js does not accept. */
const refusedHere = /^(CERT|CRL)_|^ERR_TLS_(CERT|DH_PARAM|.*PROTOCOL)/

/** Failures where OpenSSL or the other side does not accept something. */
const refused = /^ERR_SSL_.*(ALERT|PROTOCOL|VERSION|CIPHER|CERTIFICATE|SIGNATURE|TOO_SMALL|TOO_WEAK|RENEGOTIATION)/

/** Alerts that come from a broken network, or from a server in trouble. */
const passing = /BAD_RECORD_MAC|DECRYPTION_FAILED|INTERNAL_ERROR|USER_CANCEL/

/**
 * Whether a connect failed because of TLS, in a way that does not pass by itself: one side does not accept the
 * certificate of the other, or does not support TLS (R18).
 *
 * @internal
 */
export const isTlsFailure = (cause: unknown): boolean => {
  const code = codeOf(cause) ?? ""
  return untrusted.has(code) || refusedHere.test(code) || (refused.test(code) && !passing.test(code)) ||
    (!isServerError(cause) && [noTls, noAlpn].includes(messageOf(cause)))
}

/** What to do about a connect that failed because of TLS, or because TLS is missing. @internal */
export const tlsAdvice = (cause: unknown): string | undefined => {
  const code = codeOf(cause) ?? ""
  const message = messageOf(cause)
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return `The server's certificate is for ${namesOf(cause)}: connect by such a name, or give the server a ` +
      "certificate for this one."
  }
  if (untrusted.has(code)) {
    return "No authority trusted here has signed the server's certificate: give that of its authority as ssl.ca, or as " +
      "sslrootcert in the URL."
  }
  if (outOfTime.has(code)) return "Give the server a new certificate, or set the clock of this machine."
  if (message === noAlpn) {
    return "Something else may listen there; a server before PostgreSQL 17 does not know sslNegotiation \"direct\"."
  }
  if (message === noTls) return "Switch it on there (ssl = on), or leave out ssl and sslmode here."
  if (code === "ECONNRESET" && message.includes("before secure TLS connection")) {
    return "The server closed the connection in the TLS handshake. With sslNegotiation \"direct\" that is what servers " +
      "without TLS do, and those before PostgreSQL 17."
  }
  const wantsCertificate = code.startsWith("28") && message.includes("client certificate")
  if (wantsCertificate || /^ERR_SSL_.*ALERT.*(CERT|UNKNOWN_CA)/.test(code)) {
    return "The server wants a client certificate that it trusts: give one as ssl.cert and ssl.key, or as sslcert and " +
      "sslkey in the URL."
  }
  if (code.startsWith("28") && message.includes("no encryption")) return "The server may want TLS: set ssl, or sslmode."
  return undefined
}

const namesOf = (cause: unknown): string => {
  const { subject, subjectaltname } = (cause as { readonly cert?: Partial<PeerCertificate> }).cert ?? {}
  return subjectaltname ?? String(subject?.CN ?? "nobody")
}

/** The readable part of a message of OpenSSL. @internal */
export const tlsReason = (cause: unknown): string | undefined =>
  codeOf(cause)?.startsWith("ERR_SSL_") === true && Predicate.hasProperty(cause, "reason")
    ? String(cause.reason)
    : undefined

const messageOf = (cause: unknown): string => isError(cause) ? cause.message : ""
