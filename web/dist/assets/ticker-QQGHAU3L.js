var s=globalThis,t=new Map;s.onmessage=({data:{id:e,afterMs:n}})=>{if(n===void 0){clearTimeout(t.get(e)),t.delete(e);return}t.set(e,setTimeout(()=>{t.delete(e),s.postMessage(e)},n))};
