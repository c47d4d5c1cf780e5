import { closes } from "../support/faults/cases/closes.js"
import { suite } from "../support/faults/suite.js"

suite("R13 closing", closes)
