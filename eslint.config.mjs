import effect from "@effect/eslint-plugin"
import { defineConfig } from "eslint/config"
import tseslint from "typescript-eslint"

const barrels = ["effect", "@effect/experimental", "@effect/platform", "@effect/sql", "@effect/sql-pg"]

const noBarrels = barrels.map((name) => ({ name, message: "Import the module: import * as X from \"package/X\"." }))

/**
 * The rooms of `src/internal` from the ground up: each imports only from those before it, types included. The files of the
 * ground itself, such as `decode` and `words`, import from no room.
 */
const rooms = [
  "time/",
  "pool/",
  "postgres/errors/",
  "postgres/config/",
  "postgres/driver/",
  "postgres/session/",
  "postgres/lease/",
  "postgres/connect/",
  "postgres/transaction/",
  "postgres/listen/",
  "waitSpan.ts",
  "borrow.ts",
  "watch/",
  "elasticPool.ts",
  "postgres/client/",
  "pgPool.ts",
  "dashboard/",
  "testing/"
]

/** The path of any import from one of these rooms, from wherever it is imported. */
const importsOf = (rooms) => {
  const names = rooms.map((room) => room.split("postgres/").at(-1).replace(".ts", "\\.js$"))
  return `^\\.\\.?/(.*/)?(${names.join("|")})`
}

const restrict = (files, message, regexes, ignores = []) => ({
  files,
  ignores,
  rules: {
    "no-restricted-imports": ["error", {
      paths: noBarrels,
      patterns: regexes.map((regex) => ({ regex, message, caseSensitive: true }))
    }]
  }
})

const after = (room) => rooms.slice(rooms.indexOf(room) + 1)

const filesOf = (room) => [`src/internal/${room}${room.endsWith("/") ? "**/*.ts" : ""}`]

const sql = "^(pg|pg-.*|@effect/sql|@effect/sql-pg)(/|$)|/postgres/"

const upwards = "A room imports only from the rooms before it."

const roomRules = [
  restrict(["src/internal/*.ts"], "The ground imports from no room.", [importsOf(rooms), sql]),
  ...rooms.filter((room) => room !== rooms.at(-1)).map((room) =>
    restrict(filesOf(room), upwards, [importsOf(after(room))])
  ),
  restrict(filesOf(rooms.at(-1)), upwards, []),
  ...["time/", "waitSpan.ts", "borrow.ts", "watch/", "elasticPool.ts"].map((room) =>
    restrict(filesOf(room), "The pool itself knows no SQL.", [importsOf(after(room)), sql])
  ),
  restrict(filesOf("pool/"), "The state machine knows no SQL.", [importsOf(after("pool/")), sql]),
  restrict(
    filesOf("pool/"),
    "The state machine knows neither SQL nor Effect: what it needs of Effect is in runtime.ts.",
    [importsOf(after("pool/")), sql, "^effect/"],
    ["runtime", "permits", "life"].map((name) => `src/internal/pool/${name}.ts`)
  ),
  restrict(
    ["src/*.ts"],
    "The public face imports from the ground, errors and config, and each pool from its own implementation.",
    [importsOf(["pool/", ...after("postgres/config/")])],
    ["src/ElasticPool.ts", "src/PgPool.ts", "src/Dashboard.ts", "src/Testing.ts"]
  ),
  restrict(["src/Dashboard.ts"], "Dashboard is that of dashboard/.", [
    importsOf(["pool/", ...after("postgres/config/").filter((room) => room !== "dashboard/")])
  ]),
  restrict(["src/Testing.ts"], "Testing is that of testing/.", [
    importsOf(["pool/", ...after("postgres/config/").filter((room) => room !== "testing/")])
  ]),
  restrict(["src/ElasticPool.ts"], "ElasticPool is that of elasticPool.ts.", [importsOf(["pool/", "pgPool.ts"]), sql]),
  restrict(["src/PgPool.ts"], "PgPool is that of pgPool.ts.", [
    importsOf(["pool/", ...after("postgres/config/").filter((room) => room !== "pgPool.ts")])
  ])
]

export default defineConfig(
  { ignores: ["**/dist/**", "coverage/**"] },
  {
    files: ["**/*.ts", "**/*.mjs", "page/*.js"],
    extends: [tseslint.configs.base],
    plugins: { "@effect": effect },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "object-shorthand": "error",
      "prefer-const": "error",
      "no-var": "error",
      "no-restricted-syntax": ["error", {
        selector: "CallExpression[callee.property.name='push'] > SpreadElement.arguments",
        message: "A long array spread into push overflows the stack."
      }, {
        selector:
          "ImportDeclaration[importKind!='type'][source.value=/^(\\.\\.\\u002F)+(PgPool|ElasticPool|AtomicRequests|index)\\.js$/]",
        message: "Of the public face, src/internal imports only types and classes of errors."
      }],
      "@typescript-eslint/array-type": ["error", { default: "generic", readonly: "generic" }],
      "@typescript-eslint/ban-ts-comment": ["error", { "ts-expect-error": "allow-with-description" }],
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "separate-type-imports" }],
      "@typescript-eslint/no-import-type-side-effects": "error",
      "@typescript-eslint/no-unused-vars": ["error", {
        argsIgnorePattern: "^_",
        varsIgnorePattern: "^_",
        caughtErrorsIgnorePattern: "^_",
        destructuredArrayIgnorePattern: "^_"
      }],
      "@effect/dprint": ["error", {
        config: {
          indentWidth: 2,
          lineWidth: 120,
          semiColons: "asi",
          quoteStyle: "alwaysDouble",
          trailingCommas: "never",
          operatorPosition: "maintain",
          "arrowFunction.useParentheses": "force"
        }
      }]
    }
  },
  {
    files: ["src/**/*.ts"],
    rules: {
      "no-console": "error",
      "no-restricted-imports": ["error", { paths: noBarrels }],
      // Time and chance come from Clock and Random, else a TestClock could not decide them.
      "no-restricted-globals": ["error", "setTimeout", "setInterval"],
      "no-restricted-properties": [
        "error",
        { object: "Date", property: "now" },
        { object: "Math", property: "random" },
        // The pool has a runtime: the one that it was made in, with its loggers and its tracer.
        ...["runFork", "runCallback", "runPromise", "runPromiseExit", "runSync", "runSyncExit"].map((property) => ({
          object: "Effect",
          property,
          message: "Use the pool's own fork (time/time.ts)."
        }))
      ]
    }
  },
  {
    files: ["src/**/*.ts"],
    ignores: ["src/internal/postgres/driver/pg.ts", "src/internal/postgres/config/pgDefaults.ts"],
    rules: {
      "@typescript-eslint/no-restricted-imports": ["error", {
        patterns: [{
          group: ["pg", "pg/*", "pg-cursor", "pg-protocol", "pg-protocol/*", "pg-types", "pg-pool"],
          allowTypeImports: true,
          message: "Only driver/pg.ts knows the private parts of pg: declare what you need there."
        }]
      }]
    }
  },
  ...roomRules
)
