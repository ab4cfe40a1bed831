// Says in words what allauth only writes to the console: a passkey that was refused, cancelled or cannot be used here.
document.addEventListener('allauth.error', (event) => {
  const place = document.getElementById('passkey_problem')
  if (!place) return
  const cancelled = event.detail.exception && event.detail.exception.name === 'NotAllowedError'
  place.textContent = cancelled ? 'Nothing was sent: cancelled, or it took too long. Try again.' : 'The passkey could not be used here. Use your password.'
  place.hidden = false
})
