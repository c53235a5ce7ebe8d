// An error as an AWS service puts it on the wire: a status and a JSON body whose `__type` an SDK turns into a class.

export interface ErrorBody {
  /** `<namespace>#<Name>`; SDKs take what follows the `#`. */
  readonly __type: string;
  readonly message?: string;
  readonly [member: string]: unknown;
}

export class ServiceError extends Error {
  /** HTTP status: 4xx is the caller's fault, 5xx ours and worth another try. */
  readonly status: number;
  readonly body: ErrorBody;

  constructor(status: number, body: ErrorBody, options?: ErrorOptions) {
    super(body.message ?? body.__type, options);
    this.name = body.__type.slice(body.__type.lastIndexOf('#') + 1);
    this.status = status;
    this.body = body;
  }
}

const COMMON = 'com.amazon.coral.service';
const VALIDATE = 'com.amazon.coral.validate';

/** An error that every AWS service words alike, e.g. `AccessDeniedException`. */
export function commonError(status: number, name: string, message: string): ServiceError {
  return new ServiceError(status, { __type: `${COMMON}#${name}`, message });
}

export function validationError(message: string): ServiceError {
  return new ServiceError(400, { __type: `${VALIDATE}#ValidationException`, message });
}
