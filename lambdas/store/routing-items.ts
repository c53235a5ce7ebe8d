// The store's items of failover: who is active, what the observers saw, which epoch a job that runs once last ran under
// (DESIGN §4). Their words are the protocol's, since operators' commands read and write them too.
import { jobKey, observerKey, ROUTING_KEY } from '../../protocol/items.ts';
import { reportItemOf, reportOf, routingStateOf, routingUpdateOf } from '../../protocol/routing-items.ts';
import { REPORT_AHEAD_MS_MAX } from '../core/failover.ts';
import type { Store } from './store.ts';
import { controlKey, type TableCalls } from './table-calls.ts';
import { UpdateDraft } from './update-draft.ts';

type RoutingStore = Pick<
  Store,
  'routing' | 'changeRouting' | 'observerReports' | 'saveObserverReport' | 'enterJob'
>;

export function routingItems(calls: TableCalls): RoutingStore {
  return {
    async routing() {
      const item = await calls.get(controlKey(ROUTING_KEY));
      return item && routingStateOf(item);
    },

    async changeRouting(previous, next) {
      return (await calls.update(routingUpdateOf(previous, next))) === true;
    },

    async observerReports(regions) {
      const items = await Promise.all(regions.map((region) => calls.get(controlKey(observerKey(region)))));
      return items.flatMap((item) => (item ? [reportOf(item)] : []));
    },

    async saveObserverReport(report) {
      const draft = new UpdateDraft(controlKey(observerKey(report.observer)));
      for (const [name, value] of Object.entries(reportItemOf(report))) draft.set(name, value);
      const slot = draft.name('slotMs');
      const own = draft.value({ N: String(report.slotMs) });
      const ahead = draft.value({ N: String(report.slotMs + REPORT_AHEAD_MS_MAX) });
      draft.require(`(attribute_not_exists(${slot}) OR ${slot} < ${own} OR ${slot} > ${ahead})`);
      return (await calls.update(draft.build())) === true;
    },

    async enterJob(job, { epoch, region, at }) {
      const draft = new UpdateDraft(controlKey(jobKey(job)))
        .set('epoch', { N: String(epoch) })
        .set('region', { S: region })
        .set('at', { N: String(at) });
      const recorded = draft.name('epoch');
      draft.require(
        `(attribute_not_exists(${recorded}) OR ${recorded} <= ${draft.value({ N: String(epoch) })})`,
      );
      return (await calls.update(draft.build())) === true;
    },
  };
}
