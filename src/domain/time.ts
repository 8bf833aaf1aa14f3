/** Integer microseconds since the epoch, UTC: what the database stores and the domain compares. */
export type Micros = number

export const secondsToMicros = (seconds: number): Micros => Math.round(seconds * 1_000_000)
export const millisToMicros = (millis: number): Micros => Math.round(millis * 1000)
