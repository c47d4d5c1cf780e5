import { crowds } from "../support/faults/cases/crowds.js"
import { suite } from "../support/faults/suite.js"

suite("R4, I1 crowds", crowds)
