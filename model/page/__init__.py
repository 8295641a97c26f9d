"""The demo page: people dressed in a browser.

Requests enter, checked by ``guard``, and wait for the device in ``queue``; pictures leave.
``studio`` is what the page can show and do, ``app`` its JSON API, ``static`` its files. A new view
starts in ``studio``.
"""
