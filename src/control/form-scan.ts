// Finds the field `model` of a form (multipart/form-data) while it arrives: transcriptions send a sound file and the name of a model
// in either order. Keeps no more of a part than the end that a delimiter may begin in.
import type { ModelScan, ScanResult } from './model-scan.ts'

/** Bytes of the header of a part, or of a name; longer ones are none of ours. */
const longest = 4096
const none: ScanResult = { kind: 'none' }

/** undefined: no form, or one without a boundary. */
export function parseBoundary(contentType: string | undefined): string | undefined {
  const found = /^\s*multipart\/form-data\s*;.*?\bboundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))/i.exec(
    contentType ?? '',
  )
  return found?.[1] ?? found?.[2]
}

export function createFormScan(boundary: string): ModelScan {
  const delimiter = Buffer.from(`\r\n--${boundary}`)
  // The first delimiter has no line before it.
  let rest: Buffer = Buffer.from('\r\n')
  let place: 'content' | 'header' | 'name' = 'content'
  let result: ScanResult | undefined

  /** @returns whether there may be more to see in `rest` */
  function step(): boolean {
    if (place === 'header') return readHeader()
    const end = rest.indexOf(delimiter)
    if (place === 'name') {
      if (end < 0 && rest.length <= longest) return false
      result = end < 0 || end > longest ? none : { kind: 'model', model: rest.toString('utf8', 0, end) }
      return false
    }
    if (end < 0) {
      rest = rest.subarray(Math.max(0, rest.length - delimiter.length))
      return false
    }
    rest = rest.subarray(end + delimiter.length)
    place = 'header'
    return true
  }

  function readHeader(): boolean {
    // The last delimiter has two dashes behind it.
    if (rest.length >= 2 && rest.toString('latin1', 0, 2) === '--') {
      result = none
      return false
    }
    const end = rest.indexOf('\r\n\r\n')
    if (end < 0) {
      if (rest.length > longest) result = none
      return false
    }
    place = isModel(rest.toString('latin1', 0, end)) ? 'name' : 'content'
    // Its content may be empty: then the next delimiter begins with this line end.
    rest = rest.subarray(end + (place === 'name' ? 4 : 2))
    return true
  }

  return {
    feed(chunk) {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      while (!result && step());
      return result
    },
  }
}

const isModel = (header: string): boolean =>
  /^content-disposition:\s*form-data\s*;(?:.*;)?\s*name=(?:"model"|model)\s*(?:;|$)/im.test(header) &&
  !/;\s*filename\*?=/i.test(header)
