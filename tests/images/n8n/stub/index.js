const name = __dirname.split('node_modules/').pop();
const message = `${name} is left out of this test image: see tests/images/n8n/left-out`;
throw Object.assign(new Error(message), { code: 'MODULE_NOT_FOUND' });
