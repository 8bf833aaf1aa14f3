/** Pictures of trees and chains. */
import { Readable } from 'node:stream'
import type { Handler } from '../../contract.js'
import { chainSvg } from '../../views/strata/chain-svg.js'
import { treeSvg } from '../../views/strata/tree-svg.js'

/** Opened as a page of its own it may do nothing, whatever a name in it says. */
const HEADERS = {
  'Content-Type': 'image/svg+xml; charset=utf-8',
  'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'; sandbox",
  'X-Content-Type-Options': 'nosniff',
}

export const drawServerSnapshotTree: Handler<'drawServerSnapshotTree'> = async ({ caller, path, services, reply }) =>
  reply(200, Readable.from([treeSvg(await services.serverSnapshot.tree(caller, path.server_id))]), HEADERS)

export const drawChain: Handler<'drawChain'> = async ({ caller, path, services, reply }) =>
  reply(200, Readable.from([chainSvg(await services.chain.show(caller, path.volume_id))]), HEADERS)
