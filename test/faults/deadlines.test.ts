import { deadlines } from "../support/faults/cases/deadlines.js"
import { suite } from "../support/faults/suite.js"

suite("R24 deadlines of callers", deadlines)
