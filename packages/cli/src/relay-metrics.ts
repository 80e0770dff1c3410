/** What a relay carries, in the text format of Prometheus (version 0.0.4). Pure. */
import type { RelayUsage } from '@stronghold/p2p'

import type { RelayLook } from './node/relay.ts'

interface Metric {
  readonly name: string
  readonly type: 'counter' | 'gauge'
  readonly help: string
  readonly values: readonly { readonly peer?: string; readonly value: number }[]
}

/** All metrics, each with its help and type; ends with a line end. */
export function metricsOf({ serving, relays }: RelayLook, usage: readonly RelayUsage[]): string {
  const one = (value: number): Metric['values'] => [{ value }]
  const each = (pick: (one: RelayUsage) => number): Metric['values'] =>
    usage.map((used) => ({ peer: used.peer, value: pick(used) }))
  const own: Metric[] =
    serving === null
      ? []
      : [
          {
            name: 'relay_reservations',
            type: 'gauge',
            help: 'Reservations that stand.',
            values: one(serving.reservations),
          },
          {
            name: 'relay_open_circuits',
            type: 'gauge',
            help: 'Circuits that stand.',
            values: one(serving.openCircuits),
          },
          {
            name: 'relay_circuits_total',
            type: 'counter',
            help: 'Circuits since the start.',
            values: one(serving.circuits),
          },
          {
            name: 'relay_bytes_total',
            type: 'counter',
            help: 'Bytes carried since the start.',
            values: one(serving.bytes),
          },
          {
            name: 'relay_refused_total',
            type: 'counter',
            help: 'Reservations and circuits refused since the start.',
            values: one(serving.refused),
          },
          {
            name: 'relay_peer_bytes_total',
            type: 'counter',
            help: 'Bytes carried from and to a peer.',
            values: each(({ bytes }) => bytes),
          },
          {
            name: 'relay_peer_circuits_total',
            type: 'counter',
            help: 'Circuits from and to a peer.',
            values: each(({ circuits }) => circuits),
          },
        ]
  const used: Metric = {
    name: 'relay_used',
    type: 'gauge',
    help: 'Relays that this node is to be reached through.',
    values: one(relays.length),
  }
  const reserved: Metric = {
    name: 'relay_used_reserved',
    type: 'gauge',
    help: 'Relays that this node is reached through.',
    values: one(relays.filter(({ state }) => state === 'reserved').length),
  }
  return [...own, used, reserved]
    .filter(({ values }) => values.length > 0)
    .map(({ name, type, help, values }) =>
      [
        `# HELP stronghold_${name} ${help}`,
        `# TYPE stronghold_${name} ${type}`,
        ...values.map(
          ({ peer, value }) =>
            `stronghold_${name}${peer === undefined ? '' : `{peer="${peer}"}`} ${value}`,
        ),
        '',
      ].join('\n'),
    )
    .join('')
}
