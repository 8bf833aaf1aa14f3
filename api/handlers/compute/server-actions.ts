import { actions } from '../../contract.js'
import { requireMetadataKeys } from './wire.js'

export const serverAction = actions<'serverAction'>({
  'os-start': async ({ path, caller, services, reply }) => services.compute.actions.start(caller, path.server_id, () => reply(202)),

  'os-stop': async ({ path, caller, services, reply }) => services.compute.actions.stop(caller, path.server_id, () => reply(202)),

  reboot: async ({ path, caller, input, services, reply }) =>
    services.compute.actions.reboot(caller, path.server_id, input.type.toUpperCase() === 'SOFT' ? 'SOFT' : 'HARD', () => reply(202)),

  pause: async ({ path, caller, services, reply }) => services.compute.actions.pause(caller, path.server_id, () => reply(202)),

  unpause: async ({ path, caller, services, reply }) => services.compute.actions.unpause(caller, path.server_id, () => reply(202)),

  suspend: async ({ path, caller, services, reply }) => services.compute.actions.suspend(caller, path.server_id, () => reply(202)),

  resume: async ({ path, caller, services, reply }) => services.compute.actions.resume(caller, path.server_id, () => reply(202)),

  lock: async ({ path, caller, services, reply }) => services.compute.actions.lock(caller, path.server_id, () => reply(202)),

  unlock: async ({ path, caller, services, reply }) => services.compute.actions.unlock(caller, path.server_id, () => reply(202)),

  forceDelete: async ({ path, caller, services, reply }) => services.compute.servers.remove(caller, path.server_id, () => reply(202)),

  'os-resetState': async ({ path, caller, input, services, reply }) =>
    services.compute.actions.resetState(caller, path.server_id, input.state, () => reply(202)),

  'os-getConsoleOutput': async ({ path, caller, input, services, reply }) => {
    const length = input.length == null ? -1 : Number(input.length)
    return reply(200, { output: await services.compute.console.read(caller, path.server_id, length < 0 ? undefined : length) })
  },

  createImage: async ({ path, caller, input, version, here, services, reply }) => {
    const request = { name: input.name, metadata: requireMetadataKeys(input.metadata ?? {}) }
    return services.compute.createImage.createImage(caller, path.server_id, request, (id) =>
      version.atLeast(45) ? reply(202, { image_id: id }) : reply(202, undefined, { location: `${here.origin}/image/images/${id}` }),
    )
  },
})
