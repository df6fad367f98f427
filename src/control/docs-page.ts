// /docs and /redoc: openapi.json as a page that needs no script and nothing from another machine, since it stands where keys are typed.
import { escapeHtml } from './home-page.ts'
import type { OpenApi, Operation, Schema } from './openapi.ts'

const style = `:root{color-scheme:light dark}body{font-family:system-ui,sans-serif;margin:2rem auto;max-width:1000px;padding:0 1rem;line-height:1.45}
details{border:1px solid #8886;border-radius:6px;margin:.5rem 0;padding:.5rem .8rem}summary{cursor:pointer}summary code{font-weight:600}
b{display:inline-block;min-width:4.8rem}table{border-collapse:collapse;width:100%;margin:.4rem 0 .8rem}h4{margin:.8rem 0 .2rem}
th,td{text-align:left;vertical-align:top;padding:.25rem .8rem .25rem 0;border-top:1px solid #8884}th{font-weight:600;border-top:0}
td:first-child{white-space:nowrap}code{font-size:.92em;overflow-wrap:anywhere}section{scroll-margin-top:1rem}small{opacity:.75}`

export function renderDocs({ info, paths, components }: OpenApi, name: 'Swagger UI' | 'ReDoc'): string {
  const operations = Object.entries(paths).flatMap(([path, all]) =>
    Object.entries(all).map(([method, operation]) => renderOperation(method, path, operation)),
  )
  const schemas = Object.entries(components.schemas).map(([schema, value]) => renderSchema(schema, value))
  return `<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="UTF-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1.0" />
    <title>${info.title} - ${name}</title>
    <style>${style}</style>
  </head>
  <body>
    <h1>${info.title} <small>${info.version}</small></h1>
    <p>${escapeHtml(info.description)} For programs: <a href="/openapi.json">/openapi.json</a></p>
    <p>With an access key every call but <code>/livez</code>, <code>/healthz</code> and <code>/health</code> has the header
      <code>Authorization: Bearer KEY</code>; bodies have <code>Content-Type: application/json</code>.</p>
    ${operations.join('\n    ')}
    <h2>Schemas</h2>
    ${schemas.join('\n    ')}
  </body>
</html>
`
}

function renderOperation(method: string, path: string, operation: Operation): string {
  const { summary, description, parameters = [], requestBody, responses } = operation
  const given = parameters.map(({ name, in: where, required, schema }) => [
    `<code>${escapeHtml(name)}</code>`,
    `${where}${required ? ', required' : ''}`,
    renderType(schema),
  ])
  const answers = Object.entries(responses).map(([status, answer]) => [
    `<code>${status}</code>`,
    escapeHtml(answer.description),
    schemaOf(answer.content),
  ])
  return `<details><summary><b>${method.toUpperCase()}</b> <code>${escapeHtml(path)}</code> ${escapeHtml(summary)}</summary>
      ${description ? `<p>${escapeHtml(description)}</p>` : ''}
      ${given.length > 0 ? `<h4>Parameters</h4>${renderTable(['Name', 'Where', 'Type'], given)}` : ''}
      ${requestBody ? `<h4>Body</h4><p>${schemaOf(requestBody.content)}</p>` : ''}
      <h4>Answers</h4>${renderTable(['Status', 'Meaning', 'Body'], answers)}</details>`
}

function renderSchema(name: string, { properties = {}, required = [] }: Schema): string {
  const rows = Object.entries(properties).map(([field, schema]) => {
    const fallback = schema.default === undefined ? '' : `<small>default ${renderValue(schema.default)}</small>`
    return [
      `<code>${escapeHtml(field)}</code>`,
      renderType(schema),
      required.includes(field) ? 'required' : fallback,
      escapeHtml(schema.description ?? ''),
    ]
  })
  return `<section id="${escapeHtml(name)}"><h3><code>${escapeHtml(name)}</code></h3>${renderTable(['Field', 'Type', '', ''], rows)}</section>`
}

function schemaOf(content: Operation['responses'][string]['content']): string {
  return Object.entries(content ?? {})
    .map(([type, { schema }]) =>
      type === 'application/json' ? renderType(schema) : `<code>${escapeHtml(type)}</code>`,
    )
    .join(', ')
}

/** As a person would say it: `integer ≥ 0`, `string[] or null`, a link to a schema of the page. */
function renderType(schema: Schema): string {
  const { $ref, anyOf, enum: values, items, properties, type } = schema
  if ($ref !== undefined) {
    const name = escapeHtml($ref.split('/').at(-1) ?? '')
    return `<a href="#${name}"><code>${name}</code></a>`
  }
  if (anyOf) return anyOf.map(renderType).join(' or ')
  if ('const' in schema) return renderValue(schema.const)
  if (values) return values.map(renderValue).join(' or ')
  if (type === 'array') return items?.anyOf ? `(${renderType(items)})[]` : `${renderType(items ?? {})}[]`
  if (properties) {
    const fields = Object.entries(properties).map(
      ([name, one]) => `<code>${escapeHtml(name)}</code> ${renderType(one)}`,
    )
    return `object: ${fields.join(', ')}`
  }
  return [escapeHtml([type ?? 'any'].flat().join(' or ')), ...renderBounds(schema)].join(' ')
}

function renderBounds({ minimum, exclusiveMinimum, minLength, maxLength, pattern }: Schema): string[] {
  return [
    // What zod says of an integer: any that JSON can have.
    minimum === undefined || minimum === Number.MIN_SAFE_INTEGER ? '' : `≥ ${minimum}`,
    exclusiveMinimum === undefined ? '' : `&gt; ${exclusiveMinimum}`,
    minLength === undefined ? '' : `of at least ${minLength} characters`,
    maxLength === undefined ? '' : `of at most ${maxLength} characters`,
    pattern === undefined ? '' : `<code>${escapeHtml(pattern)}</code>`,
  ].filter(Boolean)
}

function renderTable(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const head = heads.map((one) => `<th>${one}</th>`).join('')
  const body = rows.map((row) => `<tr>${row.map((cell) => `<td>${cell}</td>`).join('')}</tr>`).join('')
  return `<table><tr>${head}</tr>${body}</table>`
}

const renderValue = (value: unknown) => `<code>${escapeHtml(JSON.stringify(value))}</code>`
