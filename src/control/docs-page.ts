// /docs and /redoc: openapi.json as a page that needs no script and nothing from another machine, since it stands where keys are typed.
import { escapeHtml } from './home-page.ts'
import type { OpenApi, Operation } from './openapi.ts'

const style = `:root{color-scheme:light dark}body{font-family:system-ui,sans-serif;margin:2rem auto;max-width:1000px;padding:0 1rem}
details{border:1px solid #888;border-radius:6px;margin:.5rem 0;padding:.5rem .8rem}summary{cursor:pointer}
b{display:inline-block;min-width:4.5rem}pre{overflow:auto;padding:.6rem;border:1px solid #888;border-radius:6px;font-size:.85rem}`

export function renderDocs({ info, paths, components }: OpenApi, name: 'Swagger UI' | 'ReDoc'): string {
  const operations = Object.entries(paths).flatMap(([path, all]) =>
    Object.entries(all).map(([method, operation]) => renderOperation(method, path, operation)),
  )
  const schemas = Object.entries(components.schemas).map(
    ([schema, value]) =>
      `<details id="${escapeHtml(schema)}"><summary><code>${escapeHtml(schema)}</code></summary>${renderJson(value)}</details>`,
  )
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
    <p>${escapeHtml(info.description)} <a href="/openapi.json">/openapi.json</a></p>
    ${operations.join('\n    ')}
    <h2>Schemas</h2>
    ${schemas.join('\n    ')}
  </body>
</html>
`
}

function renderOperation(method: string, path: string, operation: Operation): string {
  const { summary, description = '', ...rest } = operation
  return `<details><summary><b>${method.toUpperCase()}</b> <code>${escapeHtml(path)}</code> ${escapeHtml(summary)}</summary>
      <p>${escapeHtml(description)}</p>${renderJson(rest)}</details>`
}

const renderJson = (value: unknown) => `<pre>${escapeHtml(JSON.stringify(value, null, 2))}</pre>`
