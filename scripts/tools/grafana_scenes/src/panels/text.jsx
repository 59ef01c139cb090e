import React from 'react';
import { PanelPlugin, renderTextPanelMarkdown, textUtil } from '@grafana/data';

function Panel({ options, replaceVariables }) {
  const text = replaceVariables(options.content ?? '', {}, 'html');
  const html = options.mode === 'html' ? textUtil.sanitizeTextPanelContent(text) : renderTextPanelMarkdown(text);
  return <div className="markdown-html" style={{ height: '100%', overflow: 'hidden' }} dangerouslySetInnerHTML={{ __html: html }} />;
}

export const text = new PanelPlugin(Panel);
