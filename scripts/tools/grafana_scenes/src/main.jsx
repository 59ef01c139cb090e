import './boot.js';
import React from 'react';
import { createRoot } from 'react-dom/client';
import { MemoryRouter } from 'react-router-dom';
import { ThemeContext, createTheme } from '@grafana/data';
import { GlobalStyles, PortalContainer } from '@grafana/ui';
import { sceneUtils } from '@grafana/scenes';
import { serve } from './application.js';
import { dashboardUrl } from './asked.js';
import { scene } from './dashboard.jsx';
import { registerPanels } from './panels/index.js';
import { Prometheus } from './prometheus.js';
import { fillRegistries } from './registries.js';
import { watch } from './watch.js';

const theme = createTheme({ colors: { mode: 'dark' } });
const source = new Prometheus();
fillRegistries();
registerPanels();
sceneUtils.registerRuntimeDataSource({ dataSource: source });
serve(source);

const json = await (await fetch(dashboardUrl)).json();
const root = scene(json);
source.root = root;
window.__grafanaSceneContext = root;
watch(root);
document.title = json.title;
createRoot(document.getElementById('root')).render(
  <MemoryRouter>
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ padding: 16, display: 'flex', flexDirection: 'column', gap: 8 }}>
        <div style={{ display: 'flex', gap: 8 }}>
          <h3 style={{ margin: 0, flexGrow: 1 }}>{json.title}</h3>
          {root.state.clock.map((control) => <control.Component key={control.state.key} model={control} />)}
        </div>
        <root.Component model={root} />
      </div>
      <PortalContainer />
    </ThemeContext.Provider>
  </MemoryRouter>,
);
