import { starts } from "../support/faults/cases/starts.js"
import { suite } from "../support/faults/suite.js"

suite("R1, R6 the server can't be reached at the start", starts)
