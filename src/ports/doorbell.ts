/** Saves latency only: polling is the truth. */
export interface Doorbell {
  /** There may be work on this host. Never throws, never waits. */
  ring(hostId: string): void
}
