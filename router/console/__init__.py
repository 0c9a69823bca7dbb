"""The web console: what the commands show and do, for a browser.

Pages are made on the server and work without JavaScript. Nothing here runs while nobody looks: what the plots show is
sampled when a page asks for it.
"""
