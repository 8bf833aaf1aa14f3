/** What may go wrong, by who must act: the user mends the words (exit code 2), or reads what the service says (1). */

/** The command as given cannot be carried out; nothing was asked of the service. */
export class UsageError extends Error {}

/** There is no such thing, or there are several; or a job did not end well. */
export class Failure extends Error {}

/** The service said no. */
export class ServiceError extends Failure {
  readonly status: number
  readonly requestId: string | undefined

  constructor(status: number, sentence: string, requestId: string | undefined) {
    super(sentence)
    this.status = status
    this.requestId = requestId
  }
}
