/**
 * Prometheus metrics. The library is loaded after the first answer, not before: what happens until then waits in a
 * short queue. Labels are operationIds, operations and states: nothing a caller can make up.
 */
import type { Registry } from 'prom-client'

export interface Metrics {
  request(entry: { service: string; operationId: string | undefined; method: string; status: number; millis: number }): void
  mismatch(operationId: string): void
  jobEnded(entry: { operation: string; state: string; seconds: number }): void
  /** File systems of a guest were held frozen for so long. */
  frozen(seconds: number): void
  /** A guest's disks were switched in so long: the upper bound of what the guest noticed. */
  switched(seconds: number): void
  render(): Promise<{ contentType: string; text: string }>
}

/** What is counted when asked, not when it happens. */
export interface Gauges {
  /** Unfinished jobs. */
  jobs(): Promise<readonly { operation: string; state: string }[]>
}

type Recorder = Omit<Metrics, 'render'>

const MOST_QUEUED = 10_000
const REQUEST_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60]
const FREEZE_BUCKETS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5]

export function createMetrics(gauges: Gauges): Metrics {
  const waiting: ((recorder: Recorder) => void)[] = []
  let loaded: Promise<{ recorder: Recorder; registry: Registry }> | undefined
  let ready: Recorder | undefined
  const load = async () => {
    loaded ??= open(gauges)
    const opened = await loaded
    ready = opened.recorder
    for (const record of waiting.splice(0)) record(opened.recorder)
    return opened
  }
  setTimeout(() => void load(), 2_000).unref()
  const record = (what: (recorder: Recorder) => void): void => {
    if (ready !== undefined) what(ready)
    else if (waiting.length < MOST_QUEUED) waiting.push(what)
  }
  return {
    request: (entry) => record((r) => r.request(entry)),
    mismatch: (operationId) => record((r) => r.mismatch(operationId)),
    jobEnded: (entry) => record((r) => r.jobEnded(entry)),
    frozen: (seconds) => record((r) => r.frozen(seconds)),
    switched: (seconds) => record((r) => r.switched(seconds)),
    async render() {
      const { registry } = await load()
      return { contentType: registry.contentType, text: await registry.metrics() }
    },
  }
}

async function open(gauges: Gauges): Promise<{ recorder: Recorder; registry: Registry }> {
  const { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } = await import('prom-client')
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const requests = new Counter({
    name: 'strata_requests_total',
    help: 'Requests answered.',
    labelNames: ['service', 'operation', 'status'],
    registers,
  })
  const durations = new Histogram({
    name: 'strata_request_duration_seconds',
    help: 'Time to answer.',
    labelNames: ['service', 'operation'],
    buckets: REQUEST_BUCKETS,
    registers,
  })
  const mismatches = new Counter({
    name: 'strata_response_mismatches_total',
    help: 'Answers that did not fit the contract and became a 500.',
    labelNames: ['operation'],
    registers,
  })
  const ended = new Counter({ name: 'strata_jobs_ended_total', help: 'Jobs that ended.', labelNames: ['operation', 'state'], registers })
  const jobTimes = new Histogram({
    name: 'strata_job_duration_seconds',
    help: 'From acceptance to end.',
    labelNames: ['operation'],
    buckets: [0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120, 600, 3600],
    registers,
  })
  const freezes = new Histogram({
    name: 'strata_freeze_seconds',
    help: 'How long guests were held frozen.',
    buckets: FREEZE_BUCKETS,
    registers,
  })
  const switches = new Histogram({
    name: 'strata_switch_seconds',
    help: "How long switching a guest's disks took.",
    buckets: FREEZE_BUCKETS,
    registers,
  })
  const unfinished = () => gauges.jobs()
  new Gauge({
    name: 'strata_jobs',
    help: 'Unfinished jobs.',
    labelNames: ['operation', 'state'],
    registers,
    async collect() {
      this.reset()
      for (const job of await unfinished()) this.inc(job)
    },
  })
  new Gauge({
    name: 'strata_queue_depth',
    help: 'Jobs that wait for their turn.',
    registers,
    async collect() {
      this.set((await unfinished()).filter((job) => job.state === 'queued').length)
    },
  })
  const recorder: Recorder = {
    request({ service, operationId, status, millis }) {
      const operation = operationId ?? 'none'
      requests.inc({ service, operation, status })
      durations.observe({ service, operation }, millis / 1000)
    },
    mismatch: (operation) => mismatches.inc({ operation }),
    jobEnded({ operation, state, seconds }) {
      ended.inc({ operation, state })
      jobTimes.observe({ operation }, seconds)
    },
    frozen: (seconds) => freezes.observe(seconds),
    switched: (seconds) => switches.observe(seconds),
  }
  return { recorder, registry }
}
