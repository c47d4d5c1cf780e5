import { commits } from "../support/faults/cases/commits.js"
import { suite } from "../support/faults/suite.js"

suite("R22 the truth about COMMIT", commits)
