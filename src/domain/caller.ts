/** Who asks, as identity established it. Made by the API's middleware from a token; services trust nothing else. */
export interface Caller {
  readonly userId: string
  readonly userName: string
  readonly projectId: string
  readonly projectName: string
  /** Role names: admin, member, reader. */
  readonly roles: readonly string[]
  readonly isAdmin: boolean
  /** `req-<uuid>`: this request's, for logs, instance actions and jobs. */
  readonly requestId: string
}
