import { promotions } from "../support/faults/cases/promotions.js"
import { suite } from "../support/faults/suite.js"

suite("R18 the standby is promoted", promotions)
