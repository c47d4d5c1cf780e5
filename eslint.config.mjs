import effect from "@effect/eslint-plugin"
import { defineConfig } from "eslint/config"
import tseslint from "typescript-eslint"

const barrels = ["effect", "@effect/experimental", "@effect/platform", "@effect/sql", "@effect/sql-pg"]

const noBarrels = barrels.map((name) => ({ name, message: "Import the module: import * as X from \"package/X\"." }))

export default defineConfig(
  { ignores: ["dist/**", "coverage/**"] },
  {
    files: ["**/*.ts", "**/*.mjs"],
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
    files: ["src/internal/pool/**/*.ts"],
    rules: {
      "no-restricted-imports": ["error", {
        paths: noBarrels,
        patterns: [{
          group: ["pg", "pg-*", "@effect/sql", "@effect/sql/*", "@effect/sql-pg", "@effect/sql-pg/*", "**/postgres/**"],
          message: "The state machine knows no SQL."
        }]
      }]
    }
  }
)
