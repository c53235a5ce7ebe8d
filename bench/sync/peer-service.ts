// What the services of the other contenders have in common.
export interface ServiceAnswers {
  readonly port: number;
}

/** Contenders take turns; none should find its connections closed under it when its turn comes. */
export const IDLE_CONNECTION_MS = 120_000;
