import { restarts } from "../support/faults/cases/restarts.js"
import { suite } from "../support/faults/suite.js"

suite("R18 the server goes, or a part of it", restarts)
