/** The import rules of ARCHITECTURE.md ("the house"), as laws. src/main.ts alone may import everything. */
const rule = (name, comment, from, to) => ({ name, comment, severity: 'error', from: { path: from, pathNot: '^src/main\\.ts$' }, to })

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } } },
    rule('domain-imports-only-itself', 'values and rules, no outside', '^src/domain/', { pathNot: '^(src/domain/|crypto$|node:)' }),
    rule('ports-import-domain', 'ports speak of the domain only', '^src/ports/', { path: '^(api|db|src)/', pathNot: '^src/(ports|domain)/' }),
    rule('only-db-imports-knex', 'one room knows SQL; a test that judges the tables opens them itself', '^(api|src)/', { path: 'node_modules/(knex|mysql2|better-sqlite3)/' }),
    rule('only-api-imports-http', 'one room knows express', '^(src|db)/', { path: 'node_modules/(express|openapi-backend)/|^api/' }),
    rule('adapters-stay-apart', 'adapters implement ports', '^src/(qemu|host|keeper)/', {
      path: '^(src/(services|operations|steps|strategies|worker)|db|api)/',
    }),
    rule('db-implements-ports', 'stores know rows and the domain', '^db/', { path: '^(src/(?!domain|ports)|api/)' }),
    rule('steps-use-ports', 'bricks', '^src/steps/', { path: '^(api|db|src)/', pathNot: '^src/(steps|ports|domain)/' }),
    rule('strategies-use-steps', 'plans of bricks', '^src/strategies/', { path: '^(api|db|src)/', pathNot: '^src/(strategies|steps|ports|domain)/' }),
    rule('operations-use-steps', 'one verb a file', '^src/operations/', {
      path: '^(api|db|src)/',
      pathNot: '^src/(operations|steps|strategies|ports|domain)/',
    }),
    rule('services-never-operations', 'they record and enqueue', '^src/services/', {
      path: '^(api|db|src)/',
      pathNot: '^src/(services|ports|domain)/|^src/strategies/select\\.ts$',
    }),
    rule('api-uses-services', 'HTTP only', '^api/', { path: '^(db|src)/', pathNot: '^src/(services|domain|ports)/' }),
    rule('cli-is-a-client', 'it knows what the API documentation says, nothing of the service', '^src/cli/', {
      path: '^(api|db|src)/',
      pathNot: '^src/(cli/|version\\.ts$)',
    }),
    rule('service-knows-no-client', 'the command is a program of its own', '^(api|db|src)/(?!cli/)', { path: '^src/cli/' }),
    rule('worker-runs-plans', 'the engine knows no SQL and no QEMU', '^src/worker/', { path: '^(api|db|src/qemu|src/host|src/keeper)/' }),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'require', 'node', 'default', 'types'] },
  },
}
