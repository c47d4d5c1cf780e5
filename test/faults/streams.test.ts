import { streams } from "../support/faults/cases/streams.js"
import { suite } from "../support/faults/suite.js"

suite("R16, R19 streams", streams)
