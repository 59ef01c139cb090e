// The services that Grafana's application gives to its libraries, as far as one read-only page needs them.
import { EventBusSrv, LoadingState } from '@grafana/data';
import * as runtime from '@grafana/runtime';
import { sceneGraph } from '@grafana/scenes';
import { catchError, from, map, of } from 'rxjs';
import { UID } from './prometheus.js';

function run(source, request) {
  const about = { timeRange: request.range, request };
  return from(source.query(request)).pipe(
    map(({ data, errors }) => ({ ...about, series: data, errors, state: errors?.length ? LoadingState.Error : LoadingState.Done })),
    catchError((error) => of({ ...about, series: [], errors: [{ message: error.message }], state: LoadingState.Error })),
  );
}

export function serve(source) {
  const settings = { name: source.name, uid: UID, type: 'prometheus', isDefault: true, meta: source.meta, jsonData: {} };
  const resolve = (ref, scopedVars) => {
    const object = scopedVars?.__sceneObject?.value.valueOf() ?? source.root;
    const uid = sceneGraph.interpolate(object, ref?.uid ?? String(ref), scopedVars);
    if (uid !== UID) {
      throw new Error(`data source ${JSON.stringify(ref)} is none that a variable chose`);
    }
    return source;
  };
  runtime.setAppEvents(new EventBusSrv());
  runtime.setPluginImportUtils({
    importPanelPlugin: async (id) => { throw new Error(`this page has no panel of type ${id}`); },
    getPanelPluginFromCache: () => undefined,
  });
  runtime.setRunRequest(run);
  runtime.setTemplateSrv({
    getVariables: () => [],
    replace: (text, scopedVars, format) => sceneGraph.interpolate(source.root, text, scopedVars, format),
    containsTemplate: (text) => /\$/.test(text ?? ''),
    updateTimeRange() {},
  });
  runtime.setDataSourceSrv({
    get: async (ref, scopedVars) => resolve(ref, scopedVars),
    getList: () => [settings],
    getInstanceSettings: () => settings,
    reload() {},
    registerRuntimeDataSource() {},
  });
  runtime.setBackendSrv({});
  runtime.setEchoSrv({ addEvent() {}, addBackend() {}, flush() {} });
}
