// A bug to plant: one rule of the protocol taken away, or a fault that must not pass unseen.
import type { Mutation } from '../mutation.ts';
import type { ProfileName } from '../profiles.ts';

export interface Plant {
  /** Of PROTOCOL, by number, or the name of a fault. */
  readonly rule: string;
  /** What is wrong with it planted. */
  readonly what: string;
  readonly mutations: readonly Mutation[];
  /** Where it shows soonest. @default mixed */
  readonly profile?: ProfileName;
  /** It is planted in what stands in for something that is not shipped. */
  readonly simulated?: true;
}
