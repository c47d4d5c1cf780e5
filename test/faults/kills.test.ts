import { kills } from "../support/faults/cases/kills.js"
import { suite } from "../support/faults/suite.js"

suite("R17, R19 sessions are killed", kills)
