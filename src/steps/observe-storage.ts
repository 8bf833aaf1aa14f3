/** A look at a server's storage, for whoever asked by a job: changes nothing, so undoing it is nothing. */
import { OBSERVE_STORAGE, type ObserveStorageInput } from '../domain/operations.js'
import type { UndoableBrick } from './tools.js'

export const observeStorageStep = (request: ObserveStorageInput): UndoableBrick => ({
  kind: 'undoable',
  name: OBSERVE_STORAGE,
  probe: async () => 'absent',
  async apply(_, { auditor, learn }) {
    learn('trees' in request ? { measured: await auditor.measure(request) } : { seen: await auditor.observe(request) })
  },
  async undo() {},
})
