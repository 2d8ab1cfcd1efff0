const all=[...document.querySelectorAll('section')],at=document.getElementById('at');let n=0;
function go(k,move=true){n=Math.max(0,Math.min(all.length-1,k));all.forEach((s,i)=>s.classList.toggle('now',i===n));
document.querySelectorAll('audio,video').forEach(m=>m.pause());at.textContent=(n+1)+' / '+all.length;
if(move)history.replaceState(null,'','#'+(n+1));window.scrollTo(0,0)}
addEventListener('keydown',e=>{if(e.target.closest('input,button,audio,video,[tabindex],select,textarea')&&!e.target.closest('nav'))return;
const d={ArrowRight:1,PageDown:1,ArrowDown:1,ArrowLeft:-1,PageUp:-1,ArrowUp:-1}[e.key];
if(d){e.preventDefault();go(n+d)}else if(e.key==='Home')go(0);else if(e.key==='End')go(all.length-1)});
addEventListener('hashchange',()=>go((parseInt(location.hash.slice(1))||1)-1,false));
document.getElementById('back').onclick=()=>go(n-1);document.getElementById('on').onclick=()=>go(n+1);
go((parseInt(location.hash.slice(1))||1)-1,false);
