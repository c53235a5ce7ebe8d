// A device without a library, in touch with the service before: its notes in memory, a request each over kept
// connections, so many at once.
import { serveParent } from '../processes.ts';
import type { DeviceAnswers, Errand } from './library-device.ts';
import { idOf, noteOf } from './operations.ts';

serveParent<DeviceAnswers, { readonly atOnce: number }>(async ({ atOnce }) => ({
  async deliver({ url, run, notes }: Errand) {
    const put = async (id: string, index: number) => {
      const response = await fetch(`${url}/notes/${id}`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(noteOf(index)),
      });
      await response.arrayBuffer();
      if (response.status !== 204) throw new Error(`the service answered ${response.status}`);
    };
    await put(`${run}-first`, 0);
    const started = performance.now();
    let next = 0;
    const worker = async () => {
      for (let index = next++; index < notes; index = next++) await put(idOf(run, index), index);
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
    return performance.now() - started;
  },
}));
