/** All cases that any pool can be put to. */
import type { Case } from "./case.js"
import { kills } from "./cases/kills.js"
import { logins } from "./cases/logins.js"
import { messages } from "./cases/messages.js"
import { behindOneThatCuts } from "./cases/promotions.js"
import { restarts } from "./cases/restarts.js"
import { loss, silence } from "./cases/silence.js"
import { starts } from "./cases/starts.js"

export const cases: ReadonlyArray<Case> = [kills, restarts, silence, [loss], messages, logins, starts, [
  behindOneThatCuts
]]
  .flat()
