/** observe-storage: an API process without a worker wants to know what is on a host's disks and open in its guest. */
import { type ObserveStorageInput, observeStorage } from '../domain/operations.js'
import { observeStorageStep } from '../steps/observe-storage.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'

export const observeStorageOperation: Operation<ObserveStorageInput, Tools> = {
  descriptor: observeStorage,
  plan: (input) => ({ prepare: [observeStorageStep(input)], finish: [], async settle() {}, async abandon() {} }),
}
