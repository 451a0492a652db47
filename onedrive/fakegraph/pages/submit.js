// Sends the answer of a form_post sign-in; without script the page's button does the same.
document.getElementById("answer").submit();
