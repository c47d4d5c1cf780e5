import { silence } from "../support/faults/cases/silence.js"
import { suite } from "../support/faults/suite.js"

suite("R24 networks that swallow what they are given", silence)
