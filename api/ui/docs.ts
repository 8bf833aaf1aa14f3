/** API docs: the contract at /openapi.json, and a page that draws it with redoc from our own disk; nothing from outside. */
import { createRequire } from 'node:module'
import type { Express } from 'express'
import type { Document } from '../document.js'

const PAGE = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Strata API</title>
<style>body { margin: 0 }</style></head>
<body><redoc spec-url="/openapi.json" disable-search="true" hide-download-button="true"></redoc>
<script src="/docs/redoc.js"></script></body>
</html>
`
/** redoc sets styles from its script and draws its logo from data URLs. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; worker-src blob:; base-uri 'none'; frame-ancestors 'none'"

export function mountDocs(app: Express, document: Document): void {
  let text: string | undefined
  app.get('/openapi.json', (_request, response) => {
    text ??= JSON.stringify(document)
    response.setHeader('Content-Type', 'application/json')
    response.end(text)
  })
  app.get('/docs', (_request, response) => {
    response.setHeader('Content-Type', 'text/html; charset=utf-8')
    response.setHeader('Content-Security-Policy', POLICY)
    response.setHeader('X-Content-Type-Options', 'nosniff')
    response.setHeader('Referrer-Policy', 'no-referrer')
    response.end(PAGE)
  })
  app.get('/docs/redoc.js', (_request, response) => {
    response.sendFile(createRequire(import.meta.url).resolve('redoc/bundles/redoc.standalone.js'), { maxAge: '1d' })
  })
}
