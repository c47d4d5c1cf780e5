import { messages } from "../support/faults/cases/messages.js"
import { suite } from "../support/faults/suite.js"

suite("R17 messages that don't come as they were sent", messages)
