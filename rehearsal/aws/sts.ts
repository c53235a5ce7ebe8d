// The one question to STS that everybody asks first: who am I?
import type { Answer, Service } from './aws-front.ts';
import { commonError } from './service-error.ts';

const CONTENT_TYPE = 'text/xml';

/** @param sessionArn gives a principal's ARN as a service sees it at work */
export function stsService(account: string, sessionArn: (principalArn: string) => string): Service {
  return {
    async call({ request, caller }): Promise<Answer> {
      const action = new URLSearchParams(request.body.toString()).get('Action');
      if (action !== 'GetCallerIdentity')
        throw commonError(
          400,
          'InvalidAction',
          `The rehearsal does not play sts:${action}; it plays GetCallerIdentity`,
        );
      const identity = `<Arn>${sessionArn(caller.principalArn)}</Arn><UserId>${userId(caller.principalArn)}</UserId><Account>${account}</Account>`;
      return {
        status: 200,
        contentType: CONTENT_TYPE,
        body: `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>${identity}</GetCallerIdentityResult></GetCallerIdentityResponse>`,
      };
    },
    refuse: ({ status, name, message }) => ({
      status,
      contentType: CONTENT_TYPE,
      body: `<ErrorResponse><Error><Type>Sender</Type><Code>${name}</Code><Message>${message}</Message></Error></ErrorResponse>`,
    }),
  };
}

function userId(principalArn: string): string {
  return principalArn.slice(principalArn.lastIndexOf('/') + 1);
}
