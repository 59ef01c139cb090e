// What Grafana's server puts into its page. Read by @grafana/runtime when it is loaded, so this comes first.
// A page that fell over at its start says so at once, instead of being waited for.
window.addEventListener('error', (event) => { window.fell = event.message; });
window.addEventListener('unhandledrejection', (event) => { window.fell = String(event.reason); });
window.__grafana_public_path__ = 'public/';
window.grafanaBootData = {
  user: { orgId: 1, id: 1, timezone: 'utc', locale: 'en-US', language: 'en-US', theme: 'dark', permissions: {}, isSignedIn: true },
  settings: {
    buildInfo: { version: '13.2.2', env: 'production', edition: 'Open Source' },
    featureToggles: {}, datasources: {}, panels: {}, apps: {}, defaultDatasource: 'prometheus', appSubUrl: '', bootData: {},
  },
  navTree: [],
  themePaths: {},
};
