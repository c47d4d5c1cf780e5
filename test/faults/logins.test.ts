import { logins } from "../support/faults/cases/logins.js"
import { suite } from "../support/faults/suite.js"

suite("R18, R20 the server is full, or knows another password", logins)
