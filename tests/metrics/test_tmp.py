from .constructions import K
def test_a(): assert K==1
