"""What the browser tests run inside pages."""

AXE_RUN = """async tags => {
  const found = await axe.run(document, {runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']});
  const places = one => one.nodes.map(node => node.html.slice(0, 160)).slice(0, 4);
  return found.violations.map(one => [one.impact || '', one.id, places(one)]);
}"""

FOCUS = """() => {
  const one = document.activeElement;
  const label = one.labels && one.labels.length ? one.labels[0].innerText : '';
  const style = getComputedStyle(one);
  return {
    name: (one.getAttribute('aria-label') || label || one.innerText || one.value || '').trim(),
    role: one.tagName.toLowerCase(),
    href: one.getAttribute('href') || '',
    is_visible: (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== 'none',
  };
}"""

CANARY = "() => { window.canaried = []; window.canary = word => window.canaried.push(word); }"
# What of a page (this one, or one that is given as text and only parsed) is or was alive; and its words.
ACTIVE = """markup => {
  const page = markup ? new DOMParser().parseFromString(markup, 'text/html') : document;
  const found = [...(window.canaried || [])].map(String);
  const address = /^\\s*(javascript|data|vbscript):/i;
  const addressed = ['href', 'src', 'action', 'formaction', 'data', 'poster', 'xlink:href', 'srcdoc'];
  const tags = ['IFRAME', 'OBJECT', 'EMBED', 'BASE', 'STYLE', 'MARQUEE', 'PLAINTEXT', 'XSS'];
  for (const one of page.querySelectorAll('*')) {
    for (const {name, value} of one.attributes) {
      if (/^(hx-)?on/.test(name) || addressed.includes(name) && address.test(value))
        found.push(one.tagName + ' ' + name + '=' + value.slice(0, 80));
    }
    const source = one.getAttribute('src') || '';
    if (one.tagName === 'SCRIPT' && !source.startsWith('/panel/static/')) found.push('a script');
    if (tags.includes(one.tagName)) found.push(one.tagName);
  }
  return [found, page.body.textContent];
}"""

SUBMIT = """address => {
  const form = document.createElement('form');
  form.method = 'post'; form.action = address;
  for (const name of ['csrf', 'name', 'password', 'role', 'text', 'to', 'recipient']) {
    const field = document.createElement('input');
    field.name = name; field.value = 'owner'; form.append(field);
  }
  document.body.append(form); form.submit();
}"""
READ = """async address => {
  const tries = [
    {mode: 'cors'},
    {mode: 'no-cors'},
    {method: 'POST', headers: {'x-csrf-token': 'x'}},
    {method: 'POST', mode: 'no-cors', body: new URLSearchParams({csrf: 'x', name: 'owner'})},
  ];
  for (const one of tries) {
    const text = await fetch(address, {credentials: 'include', ...one}).then(answer => answer.text()).catch(() => '');
    if (text) return text.slice(0, 80);
  }
  return 'nothing';
}"""
EMBED = """async addresses => {
  for (const address of addresses) {
    for (const tag of ['img', 'iframe', 'script']) {
      const one = document.createElement(tag);
      const done = new Promise(resolve => { one.onload = one.onerror = resolve; setTimeout(resolve, 500); });
      one.src = address; document.body.append(one); await done;
    }
  }
}"""
