// Function `observer`: invoked once a minute in every region.
import { createObserver } from './routes/observer.ts';
import { createService } from './service.ts';

const observe = createObserver(createService('observer'));

export const handler = async (): Promise<void> => observe();
