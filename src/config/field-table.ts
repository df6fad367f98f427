// All fields of all slices as one list: what reads variables, describes them and documents them goes through it.
import type { z } from 'zod'
import type { FieldMeta } from './fields.ts'
import { slices } from './schema.ts'

export type SliceName = keyof typeof slices

export type Field = {
  slice: SliceName
  key: string
  meta: FieldMeta
  /** The name and its aliases. */
  names: readonly string[]
}

export const fields: readonly Field[] = (Object.keys(slices) as SliceName[]).flatMap((slice) =>
  Object.entries(slices[slice].shape as Record<string, z.ZodType>).map(([key, schema]) => {
    const meta = schema.meta() as unknown as FieldMeta
    return { slice, key, meta, names: [meta.env, ...(meta.aliases ?? [])] }
  }),
)
