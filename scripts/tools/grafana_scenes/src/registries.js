// What Grafana's application registers at its start: field options, their editors (none here), transformations.
import {
  standardEditorsRegistry, standardFieldConfigEditorRegistry, standardTransformers, standardTransformersRegistry,
  identityOverrideProcessor, numberOverrideProcessor, displayNameOverrideProcessor, dataLinksOverrideProcessor,
  thresholdsOverrideProcessor, valueMappingsOverrideProcessor, unitOverrideProcessor, booleanOverrideProcessor,
} from '@grafana/data';

const EDITORS = [
  'select', 'number', 'text', 'boolean', 'radio', 'unit', 'color', 'slider', 'multi-select', 'strings', 'stats-picker',
  'timezone', 'field-name', 'string', 'thresholds', 'mappings', 'links', 'actions', 'fieldColor',
];
const THRESHOLDS = { mode: 'absolute', steps: [{ value: -Infinity, color: 'green' }, { value: 80, color: 'red' }] };
const OPTIONS = {
  unit: { process: unitOverrideProcessor },
  min: { process: numberOverrideProcessor },
  max: { process: numberOverrideProcessor },
  fieldMinMax: { process: booleanOverrideProcessor },
  decimals: { process: numberOverrideProcessor },
  displayName: { process: displayNameOverrideProcessor },
  description: {},
  color: {},
  noValue: {},
  links: { process: dataLinksOverrideProcessor },
  actions: {},
  mappings: { process: valueMappingsOverrideProcessor, defaultValue: [] },
  thresholds: { process: thresholdsOverrideProcessor, defaultValue: THRESHOLDS },
  filterable: { process: booleanOverrideProcessor },
};
const nothing = () => null;

export function option(id, extra = {}) {
  return {
    id, path: id, name: id, editor: nothing, override: nothing, settings: {}, shouldApply: () => true,
    process: identityOverrideProcessor, ...extra,
  };
}

export function fillRegistries() {
  standardEditorsRegistry.setInit(() => EDITORS.map((id) => ({ id, name: id, editor: nothing })));
  standardFieldConfigEditorRegistry.setInit(() =>
    Object.entries(OPTIONS).map(([id, { process, ...extra }]) => option(id, process ? { process, ...extra } : extra)));
  // Two names of the one joinByField: the registry knows the older one by its alias.
  const transformers = [...new Set(Object.values(standardTransformers))];
  standardTransformersRegistry.setInit(() =>
    transformers.map((transformer) => ({
      id: transformer.id, aliasIds: transformer.aliasIds, name: transformer.name, transformation: () => Promise.resolve(transformer),
      editor: nothing, imageDark: '', imageLight: '',
    })));
}
