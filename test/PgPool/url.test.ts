import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, FastCheck, Layer, Redacted } from "effect"
import { PgPool } from "effect-pgpool"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as ConnectionString from "pg-connection-string"
import { makeFolder } from "../support/program.js"
import { decode, isSilent, refusalOf, taken } from "../support/targetUrl.js"

const stockOf = (url: string) => {
  try {
    return ConnectionString.parse(url)
  } catch {
    return undefined
  }
}

const parts = { user: "Ada", password: "s3cretXYZ", hosts: "db1", database: "shop", name: "app" }

type Part = keyof typeof parts

const urlOf = (changed: Partial<typeof parts>) => {
  const { database, hosts, name, password, user } = { ...parts, ...changed }
  return `postgresql://${user}:${password}@${hosts}/${database}?application_name=${name}`
}

const printable = Array.from({ length: 0x7f - 0x20 }, (_, index) => String.fromCharCode(0x20 + index))

const encoded = (char: string) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`

describe("R27: the URL", () => {
  for (const part of ["user", "password", "database", "name"] as const satisfies ReadonlyArray<Part>) {
    it(`${part}: every printable character, raw and encoded, with one host and several`, () => {
      for (const char of printable) {
        for (const [form, written] of [["raw", char], ["encoded", encoded(char)]]) {
          for (const value of [`Ab${written}cD`, `${written}cD`, `Ab${written}`]) {
            const url = urlOf({ [part]: value })
            const one = decode(url)
            const several = decode(urlOf({ [part]: value, hosts: "db1,db2:5433" }))
            const stock = stockOf(url)
            const label = `${part} ${JSON.stringify(value)}`
            assert.strictEqual(Either.isRight(several), Either.isRight(one), label)
            if (Either.isLeft(one) || Either.isLeft(several)) {
              // It would mean something else there; stock takes some of these for another host, and asks for that.
              assert(form === "raw" && "/?#@%&".includes(char), label)
              for (const refused of [one, several]) {
                if (Either.isLeft(refused)) isSilent(refused.left.message, ["Ada", "Ab", "cD", "s3cret", "XYZ"])
              }
              continue
            }
            assert.deepStrictEqual(one.right.hosts, ["db1 5432"], label)
            assert.deepStrictEqual(several.right.hosts, ["db1 5432", "db2 5433"], label)
            for (const got of [one.right, several.right]) {
              const applicationName = got.target.config.applicationName
              if (form === "encoded") {
                const expected = { username: "Ada", password: "s3cretXYZ", database: "shop", applicationName: "app" }
                const option = { user: "username", name: "applicationName" }[part as string] ?? part
                const { database, password, username } = got
                assert.deepStrictEqual({ username, password, database, applicationName }, {
                  ...expected,
                  [option]: decodeURIComponent(value)
                }, label)
              }
              if (stock === undefined) continue
              const { application_name: name } = stock as { readonly application_name?: string }
              assert.strictEqual(got.username ?? "", stock.user, label)
              assert.strictEqual(got.password ?? "", stock.password, label)
              assert.strictEqual(applicationName, name || "effect-pgpool", label)
              // It decodes what stock leaves encoded.
              if (part === "database" && form === "encoded") continue
              assert.strictEqual(got.database ?? null, stock.database, label)
            }
          }
        }
      }
    })
  }

  it("a host: every printable character, raw and encoded, is what stock makes of it, or refused", () => {
    for (const char of printable) {
      for (const written of [char, encoded(char)]) {
        const url = urlOf({ hosts: `d${written}b` })
        const [one, stock] = [decode(url), stockOf(url)]
        if (Either.isLeft(one)) isSilent(one.left.message, ["Ada", "s3cret", "XYZ"])
        else if (stock !== undefined && ![",", "%2C"].includes(written)) {
          assert.deepStrictEqual(one.right.hosts, [`${stock.host || "localhost"} ${stock.port || 5432}`], url)
          assert.strictEqual(one.right.password, stock.password)
        }
        const several = decode(urlOf({ hosts: `db1,d${written}b` }))
        if (Either.isLeft(several)) isSilent(several.left.message, ["Ada", "s3cret", "XYZ"])
      }
    }
  })

  const secret = FastCheck.string({ minLength: 1, maxLength: 12, unit: "grapheme-ascii" })

  it("any password and any user, encoded", () =>
    FastCheck.assert(
      FastCheck.property(secret, secret, FastCheck.boolean(), (user, password, isOne) => {
        const hosts = isOne ? "db1" : "db1,db2"
        const got = taken(urlOf({ user: encodeURIComponent(user), password: encodeURIComponent(password), hosts }))
        assert.deepStrictEqual([got.username, got.password, got.hosts.length], [user, password, isOne ? 1 : 2])
      }),
      { numRuns: 500, seed: 1 }
    ))

  it("any password as it is: what stock makes of it, or refused; never a part of it as a host, or said", () => {
    const special = FastCheck.string({
      minLength: 1,
      maxLength: 8,
      unit: FastCheck.constantFrom(..."aB1/?#@:,%[]& =\\")
    })
    FastCheck.assert(
      FastCheck.property(special, special, FastCheck.boolean(), (first, second, isOne) => {
        const password = `Qx${first}Zy${second}Wv`
        const got = decode(urlOf({ password, hosts: isOne ? "db1" : "db1,db2" }))
        if (Either.isLeft(got)) return isSilent(got.left.message, ["Ada", "Qx", "Zy", "Wv"])
        assert.deepStrictEqual(got.right.hosts, isOne ? ["db1 5432"] : ["db1 5432", "db2 5432"])
        assert.strictEqual(got.right.password, stockOf(urlOf({ password }))!.password)
        isSilent(got.right.target.warnings.join(), ["Qx", "Zy", "Wv"])
      }),
      { numRuns: 5000, seed: 1 }
    )
  })

  it("a comma before the last @ belongs to the user or the password, also with several hosts", () => {
    for (const hosts of ["db1", "db1,db2"]) {
      const got = taken(urlOf({ user: "a,d@a", password: "s3,cr@,et", hosts }))
      assert.deepStrictEqual([got.username, got.password], ["a,d@a", "s3,cr@,et"])
      assert.strictEqual(got.hosts.length, hosts.split(",").length)
    }
  })

  it("a / ? or # as it is in a user or a password is refused where stock would ask for another host", () => {
    for (
      const url of [
        "postgres://se/cret:pw@db/shop",
        "postgres://se/cret@db",
        "postgres://ada:12/secret@db/shop",
        "postgres://ada:p@secret/x@db/shop",
        "postgres://ada:12?secret@db/shop",
        "postgres://ada:p@secret?x@db/shop",
        "postgres://ada:p@secret?x=y@db/shop",
        "postgres://ada:p@secret#x@db/shop",
        "postgres://ada:12#secret@db/shop"
      ]
    ) {
      const message = refusalOf(url)
      assert.include(message, "%2F", url)
      isSilent(message, ["secret", "cret", "ada"])
    }
  })

  it("the database's name is decoded in full", () => {
    for (const name of ["a/b", "?", "50%2F", "a%b", "ü ,;:@&=+$#", "x y"]) {
      assert.strictEqual(taken(`postgres://ada@db/${encodeURIComponent(name)}`).database, name)
    }
    assert.isUndefined(taken("postgres://ada@db/").database)
    assert.isUndefined(taken("postgres://ada@db").database)
  })

  it("forms of other places", () => {
    const forms: Record<string, [hosts: string, database?: string, username?: string]> = {
      "POSTGRES://ada@db/shop": ["db 5432", "shop", "ada"],
      "PostgreSQL://ada@Db:5433/shop": ["Db 5433", "shop", "ada"],
      "postgres://ada:pw@[::1]:5433/shop": ["::1 5433", "shop", "ada"],
      "postgres://ada:p,w@[::1]:5433,[fe80::1]/shop": ["::1 5433,fe80::1 5432", "shop", "ada"],
      "postgres://db/shop\n": ["db 5432", "shop"],
      "postgres://a,b\n": ["a 5432,b 5432"],
      "postgresql:///shop?host=/run": ["/run 5432", "shop"],
      "postgresql://ada@/shop?host=/run&port=5433": ["/run 5433", "shop", "ada"],
      "postgresql://ada@%2Frun%2Fpg:5433/shop": ["/run/pg 5433", "shop", "ada"],
      "postgresql://ada@db:1,db2:2/shop?host=c,d&port=5": ["c 5,d 5", "shop", "ada"],
      "postgresql://db:1/shop?host=c": ["c 1", "shop"],
      "postgresql://db/shop?user=me@srv&password=p@/w": ["db 5432", "shop", "me@srv"],
      "postgresql://db/shop?dbname=shop": ["db 5432", "shop"],
      "socket://ada:pw@/run/pg?db=shop&encoding=utf8": ["/run/pg 5432", "shop", "ada"],
      "socket:/run/pg?db=shop": ["/run/pg 5432", "shop"],
      "/run/pg shop": ["/run/pg 5432", "shop"]
    }
    for (const [url, [hosts, database, username]] of Object.entries(forms)) {
      const got = taken(url)
      assert.deepStrictEqual([got.hosts.join(), got.database, got.username], [hosts, database, username], url)
      assert.deepStrictEqual(got.target.warnings, [], url)
    }
  })

  it("no user and no password are as good as none said", () => {
    for (const url of ["postgres://db/shop", "postgres://:@db/shop", "postgres://@db/shop"]) {
      assert.deepStrictEqual([taken(url).username, taken(url).password], [undefined, undefined], url)
    }
  })

  it("what is no URL of PostgreSQL is refused, with advice", () => {
    assert.include(refusalOf("jdbc:postgresql://db/shop?user=ada&password=s3cret"), "without the jdbc:")
    for (
      const url of [
        "postgres:/ada:s3cret@db/shop",
        "postgres:ada:s3cret@db",
        "mysql://ada:s3cret@db/shop",
        "ada:s3cret@db/shop",
        "postgresql+psycopg2://ada:s3cret@db/shop",
        ""
      ]
    ) {
      const message = refusalOf(url)
      assert.include(message, "begins with postgresql://", url)
      isSilent(message, ["ada", "s3cret", "shop"])
    }
  })

  it("a database beside that of the path is refused: pg and libpq take another one", () => {
    for (const url of ["postgres://db/shop?dbname=other", "postgres://db?dbname=other", "postgres://db/?database=x"]) {
      assert.match(refusalOf(url), /dbname|database/)
    }
  })
})

describe("R27: the key of a client certificate", () => {
  it.scoped("is read from a file once, and a missing file is named", () =>
    Effect.gen(function*() {
      const folder = yield* makeFolder("pgpool-url-")
      const file = join(folder, "ca.pem")
      writeFileSync(file, "none")
      const message = refusalOf(`postgres://ada:s3cret@db/shop?sslrootcert=${file}x`)
      assert.include(message, `${file}x`)
      isSilent(message, ["s3cret"])
    }))
})

it.effect("R27: a URL in the place of a host is refused, and not shown", () =>
  Effect.gen(function*() {
    const place = "postgres://ada:s3cret@db"
    const pools: ReadonlyArray<PgPool.PgPoolOptions> = [
      ...[{ host: place }, { host: `db,${place}` }, { host: "ada:s3cret@db" }, { hosts: [place] }],
      ...[{ hosts: ["ada@s3cret"] }, { hosts: [{ host: "ada:s3cret@db" }] }],
      { url: Redacted.make("postgres://db/shop?host=ada:s3cret@db") }
    ]
    for (const options of pools) {
      const defect = yield* Effect.flip(Effect.catchAllDefect(
        Effect.scoped(Layer.build(PgPool.layer(options))),
        Effect.fail
      ))
      assert.match(String(defect), /host/)
      isSilent(String(defect), ["ada", "s3cret"])
    }
  }))

it.effect("R27: a bad URL of a layer is a defect without a part of it", () =>
  Effect.gen(function*() {
    const url = Redacted.make("postgres://ada:p,secret@/x@db,/shop")
    const defect = yield* Effect.flip(Effect.catchAllDefect(
      Effect.scoped(Layer.build(PgPool.layer({ url }))),
      Effect.fail
    ))
    isSilent(String(defect), ["ada", "secret"])
  }))
